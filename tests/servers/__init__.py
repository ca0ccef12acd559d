"""Real servers for the tests: etcd and DynamoDB Local, each in a process of its own on a loopback port."""
