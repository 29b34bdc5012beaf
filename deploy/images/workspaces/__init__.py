"""What a workspace in a pod finds: the sets of `sets.toml`, each as an image."""
