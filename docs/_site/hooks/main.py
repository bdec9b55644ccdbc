"""What happens to the site while MkDocs builds it, in order: the one hook that mkdocs.yml names."""
