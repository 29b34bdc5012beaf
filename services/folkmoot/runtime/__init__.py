"""Adapters to the outside (log, gRPC, graph, Ray, clock, settings, processes). No rule of the domain lives here."""
