"""Raw data sets to the sample files of CMR."""
