"""What the commands of ``tools/`` share before they build anything."""
