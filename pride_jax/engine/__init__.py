"""One round of federated training, on the device."""
