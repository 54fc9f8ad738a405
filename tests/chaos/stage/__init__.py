"""What a fault schedule is played on: cheap processes, a network to cut, servers that die, a venue with a ledger."""
