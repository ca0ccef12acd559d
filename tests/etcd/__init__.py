"""What is promised of etcd: users, TLS, outages, clusters, sizes, and what the process does meanwhile."""
