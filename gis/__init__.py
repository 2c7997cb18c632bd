"""The city: store, geometry and questions about it; knows nothing of the floors above."""
