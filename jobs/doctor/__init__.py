"""`truing doctor`: what a study needs of this machine, of the cluster and of its models, tried out one by one."""
