"""Clients and workers for nfrx jobs and transfer channels."""
