/* SIGTERM, SIGINT and SIGUSR1 (Slurm's --signal) ask a run to stop after the current step; it then writes a checkpoint. */
#ifndef TRAINING_STOP_H
#define TRAINING_STOP_H

void stop_listen(void);
/* Number of the signal that asked, 0 while none did. */
int stop_asked(void);

#endif
