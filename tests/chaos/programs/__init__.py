"""What runs in processes of its own, to be killed or to leave."""
