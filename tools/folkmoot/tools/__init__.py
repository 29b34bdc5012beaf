"""What an agent may call, over a Workspace. Decisions only; the transport lies behind the port."""
