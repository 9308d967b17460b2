"""Report pages: one HTML file with curves, pictures, tables and meshes to turn with the mouse."""
