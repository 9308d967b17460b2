"""Jobs on ModelArts: copies to and from object storage, launch scripts."""
