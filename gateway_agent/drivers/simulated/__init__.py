"""A simulated device family: plays a profile and the physics of PV, battery and shiftable load."""
