"""What to process: items, manifests, directory listings, shards, and the synthetic demo set."""
