/* GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A binary module gets a JSON file. */
int main(int argc, char **argv) {
    char text[65536] = "";
    FILE *file = fopen(argv[1], "r");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    const char *env = getenv("KINDS");

    text[length] = 0;
    printf("{\"changed\": false, \"arguments\": %d, \"found\": %s, \"env\": \"%s\", \"terminal\": %d}\n", argc,
           strstr(text, "binary word") ? "true" : "false", env ? env : "", isatty(0));
    if (strstr(text, "crash"))
        abort();
    return strstr(text, "binary fails") ? 7 : 0;
}
