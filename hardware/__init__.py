"""The edge: virtual plant, fieldbus, gateway with its outbox, replay of event logs."""
