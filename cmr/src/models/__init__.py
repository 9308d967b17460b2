"""The networks and the body model of CMR."""
