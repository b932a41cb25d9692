"""Numbers shipped with the package and the scripts that computed them; never text."""
