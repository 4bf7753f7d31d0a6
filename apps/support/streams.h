/* Streams of random numbers, and the constants that set them apart. A stream is Philox 4x32-10 (hct/philox.h) keyed
 * by seed ^ STREAM_..., counted by what the draw is for; so that no two purposes draw the same numbers from one
 * seed, every constant stands here, and the test of this header holds them apart. Each spells its purpose in ASCII. */
#ifndef SUPPORT_STREAMS_H
#define SUPPORT_STREAMS_H

/*                                      what is drawn                       counted by (low; high) */
#define STREAM_ORDER 0x6f72646572u       /* an epoch's order                    place; epoch */
#define STREAM_VIEWS 0x7669657773u       /* crops and augmentation              epoch, view, number of the draw; scan */
#define STREAM_MASK 0x6d61736bu          /* MAE's masks                         step, patches / 4; scan */
#define STREAM_DROP 0x64726f70u          /* branches that drop-path skips       step; place in the step, branch */
#define STREAM_EPISODES 0x65706973u      /* ProtoNet's episodes, as orders      place; episode */
#define STREAM_WEIGHTS 0x77656967687473u /* first values of tensors: this is the high counter, the key holds the name */
#define STREAM_VALIDATION 0x76616cu      /* laid over the seed of masks and views, so that validation sees others */

#define STREAM_ALL                                                                                                     \
    { STREAM_ORDER, STREAM_VIEWS, STREAM_MASK, STREAM_DROP, STREAM_EPISODES, STREAM_WEIGHTS, STREAM_VALIDATION }

#endif
