"""What each command of `jnets` takes and prints."""
