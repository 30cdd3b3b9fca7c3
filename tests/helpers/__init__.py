"""What several test files use. Test files never import one another."""
