/* SPDX-License-Identifier: Apache-2.0 */
/* CLIP's byte-pair merges (MIT, OpenAI; see data/embedded/README.md), kept in the program. */
.section .rodata
.global limn_clip_merges
.global limn_clip_merges_end
limn_clip_merges:
.incbin LIMN_CLIP_MERGES
limn_clip_merges_end:
.section .note.GNU-stack,"",%progbits
