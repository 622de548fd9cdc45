"""What every room may need: errors that a user can mend, files, and the configs that the package brings."""
