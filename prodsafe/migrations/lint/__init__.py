"""`prodsafe migrate lint`: what a migration would lock, rewrite, break or lose, said before it runs."""
