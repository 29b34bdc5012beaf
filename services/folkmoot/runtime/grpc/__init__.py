"""gRPC for every service: `server` serves, `client` connects, `status` maps our errors to codes and back."""
