"""Which rule judges which kind of statement. [P]"""

from __future__ import annotations

from collections.abc import Callable

from prodsafe.migrations.lint import rules_data, rules_domain, rules_index, rules_names, rules_partition, rules_server
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.scene import Hazards, Scene

Rule = Callable[[Scene, Node], Hazards]


def _create_table(scene: Scene, node: Node) -> Hazards:
    yield from rules_server.create_table(scene, node)
    yield from rules_partition.create_partition(scene, node)


RULES: dict[str, Rule] = {
    "CreateStmt": _create_table,
    "IndexStmt": rules_index.create_index,
    "ReindexStmt": rules_index.reindex,
    "RefreshMatViewStmt": rules_index.refresh,
    "DropStmt": rules_names.drop,
    "DropdbStmt": rules_names.drop_database,
    "DropOwnedStmt": rules_names.drop_owned,
    "RenameStmt": rules_names.rename,
    "AlterObjectSchemaStmt": rules_names.set_schema,
    "AlterEnumStmt": rules_names.alter_enum,
    "SelectStmt": rules_data.select,
    "TruncateStmt": rules_data.truncate,
    "LockStmt": rules_data.lock_table,
    "CreateTrigStmt": rules_server.create_trigger,
    "RuleStmt": rules_server.create_rule,
    "CreatePolicyStmt": rules_server.policy,
    "AlterPolicyStmt": rules_server.policy,
    "AlterDefaultPrivilegesStmt": rules_server.alter_default_privileges,
    "AlterOwnerStmt": rules_server.change_owner,
    "GrantStmt": rules_server.revoke,
    "GrantRoleStmt": rules_server.revoke_role,
    "AlterSystemStmt": rules_server.cluster_wide,
    "AlterDatabaseSetStmt": rules_server.cluster_wide,
    "AlterDatabaseStmt": rules_server.alter_database,
    "AlterRoleSetStmt": rules_server.role,
    "AlterRoleStmt": rules_server.role,
    "DropRoleStmt": rules_server.role,
    "DropTableSpaceStmt": rules_server.cluster_wide,
    "VacuumStmt": rules_server.vacuum,
    "ClusterStmt": rules_server.cluster,
    "AlterTableMoveAllStmt": rules_server.move_all,
    "AlterDomainStmt": rules_domain.alter_domain,
    "ExplainStmt": rules_data.explain,
    "VariableSetStmt": rules_server.set_variable,
    "AlterEventTrigStmt": rules_server.event_trigger,
}
