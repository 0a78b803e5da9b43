"""A fleet that is made up: to look at the service before there are agents, and to find out what a machine takes."""
