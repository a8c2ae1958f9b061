"""Notifications on their way out: e-mail and webhooks, from the outbox that billing fills."""
