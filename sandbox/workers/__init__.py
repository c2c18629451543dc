"""Programs that run inside an env. They import nothing of ours but each other, by bare name."""
