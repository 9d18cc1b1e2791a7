"""Contexts, routing and services: the engine of Mitosis, independent of Ansible."""

__version__ = '0.1.0'
