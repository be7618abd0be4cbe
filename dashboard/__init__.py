"""What people see and approve. Reaches the running twin through its HTTP API only."""
