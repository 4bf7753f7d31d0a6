/* viewer.js as text: embed_script.py writes it. */
#ifndef FIGURES_VIEWER_SCRIPT_H
#define FIGURES_VIEWER_SCRIPT_H

extern const char viewer_script[];

#endif
