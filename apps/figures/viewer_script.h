/* viewer.js as text: embed_text.py writes it. It defines showViewers(), which starts every viewer of the page that does
 * not run yet, and calls it. */
#ifndef FIGURES_VIEWER_SCRIPT_H
#define FIGURES_VIEWER_SCRIPT_H

extern const char viewer_script[];

#endif
