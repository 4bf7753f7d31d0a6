/* Text of others (names of labels, files, whole tables) in Markdown, so that it is shown and nothing else: no HTML, no
 * link, no cell or line of its own. */
#ifndef SUPPORT_MARKDOWN_H
#define SUPPORT_MARKDOWN_H

#include "support/text.h"

/* As running text or a cell of a table. Line ends become blanks, other control characters \xNN. */
void markdown_text(text_buffer *out, const char *text);
/* As `code`. */
void markdown_code(text_buffer *out, const char *text);
/* Between fences longer than any in the text; language may be "". A line end is added where the last line has none. */
void markdown_block(text_buffer *out, const char *language, const char *text);

#endif
