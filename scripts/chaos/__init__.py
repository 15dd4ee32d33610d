"""A fault test bed: the whole market under load while its parts die, hang, and lose each other."""
