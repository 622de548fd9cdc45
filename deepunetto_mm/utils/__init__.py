"""What every room may need: errors that a user can fix, files, and the configs that the package brings."""
