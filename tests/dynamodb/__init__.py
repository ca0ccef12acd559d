"""What the DynamoDB backend promises beyond the contract that all backends share."""
