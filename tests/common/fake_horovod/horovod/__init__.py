"""Double of horovod: a process for each HOROVOD_RANK."""
