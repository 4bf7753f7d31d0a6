/* What is asked of a shared object before the dynamic loader runs any of its code: that it is whole, who may have put
 * it there, and, of a plugin, which interface it was built for. */
#include "internal.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <link.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- trust ---- */

/* The owner of libhct itself: who may replace that runs in this process already. */
static uid_t own_owner(void) {
    Dl_info info;
    struct stat st;
    return dladdr((void *)(uintptr_t)own_owner, &info) && stat(info.dli_fname, &st) == 0 ? st.st_uid : geteuid();
}

/* Whether a group is its owner's alone, as where each user has one: no member beside, and the owner's primary one. */
static int is_private_group(uid_t owner, gid_t group) {
    const struct group *g = getgrgid(group);
    const struct passwd *p = getpwuid(owner);
    if (!g || !p || p->pw_gid != group) return 0;
    for (char **member = g->gr_mem; member && *member; member++)
        if (strcmp(*member, p->pw_name) != 0) return 0;
    return 1;
}

/* Why somebody else could have put a file there, by this part of its path; NULL: nobody could. is_file: it is the file
 * itself, not a folder above it. Below a folder like /tmp, which is sticky, only owners replace what is theirs. */
static const char *weakness(const struct stat *st, int is_file) {
    if (st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != own_owner()) return "belongs to another user";
    if (!is_file && st->st_mode & S_ISVTX) return NULL;
    if (st->st_mode & S_IWOTH) return "may be written to by everybody; chmod o-w it";
    if (st->st_mode & S_IWGRP && !is_private_group(st->st_uid, st->st_gid))
        return "may be written to by its group; chmod g-w it";
    return NULL;
}

hct_status hct_trust_file(const char *file, hct_err *err) {
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(file, real)) return HCT_OK; /* whoever opens it says what is wrong */
    for (int is_file = 1;; is_file = 0) {
        const char *part = *real ? real : "/";
        if (stat(part, &st) < 0) return hct_fail(err, HCT_EIO, "%s: %s: %s", file, part, strerror(errno));
        const char *why = weakness(&st, is_file);
        if (why) return hct_fail(err, HCT_EINVAL, "%s: is not loaded: %s %s", file, part, why);
        if (!*real) return HCT_OK;
        *strrchr(real, '/') = 0;
    }
}

/* ---- what the file says of itself ---- */

typedef struct elf_file {
    int fd;
    uint64_t size;
    ElfW(Ehdr) head;
} elf_file;

static int get(const elf_file *f, void *to, size_t n, uint64_t at) {
    return at <= f->size && n <= f->size - at && pread(f->fd, to, n, (off_t)at) == (ssize_t)n;
}

/* Whether the file holds all that its program headers name. The dynamic loader maps it without asking, and the
 * program dies of SIGBUS where it was cut. */
static int is_cut(const elf_file *f) {
    ElfW(Phdr) p;
    for (unsigned i = 0; i < f->head.e_phnum; i++) {
        if (!get(f, &p, sizeof p, f->head.e_phoff + i * sizeof p)) return 1;
        if (p.p_offset > f->size || p.p_filesz > f->size - p.p_offset) return 1;
    }
    return 0;
}

/* Where in the file the bytes of an address lie; 0: nowhere. */
static uint64_t place_of(const elf_file *f, uint64_t address) {
    ElfW(Phdr) p;
    for (unsigned i = 0; i < f->head.e_phnum; i++)
        if (get(f, &p, sizeof p, f->head.e_phoff + i * sizeof p) && p.p_type == PT_LOAD && address >= p.p_vaddr &&
            address - p.p_vaddr < p.p_filesz)
            return p.p_offset + (address - p.p_vaddr);
    return 0;
}

static int is_named(const elf_file *f, const ElfW(Shdr) * strings, uint64_t name, const char *want) {
    char have[64];
    size_t n = strlen(want) + 1;
    return n <= sizeof have && name < strings->sh_size && n <= strings->sh_size - name &&
           get(f, have, n, strings->sh_offset + name) && memcmp(have, want, n) == 0;
}

/* Address of an exported data symbol; 0: there is none. */
static uint64_t symbol_of(const elf_file *f, const char *name) {
    enum { AT_ONCE = 256 };
    ElfW(Shdr) table, strings;
    ElfW(Sym) some[AT_ONCE];
    for (unsigned i = 0; i < f->head.e_shnum; i++) {
        if (!get(f, &table, sizeof table, f->head.e_shoff + i * sizeof table) || table.sh_type != SHT_DYNSYM) continue;
        if (!get(f, &strings, sizeof strings, f->head.e_shoff + table.sh_link * sizeof strings)) return 0;
        for (uint64_t at = 0, n; at < table.sh_size / sizeof *some; at += n) {
            n = table.sh_size / sizeof *some - at;
            if (n > AT_ONCE) n = AT_ONCE;
            if (!get(f, some, n * sizeof *some, table.sh_offset + at * sizeof *some)) return 0;
            for (uint64_t k = 0; k < n; k++)
                if (some[k].st_shndx != SHN_UNDEF && is_named(f, &strings, some[k].st_name, name))
                    return some[k].st_value;
        }
        return 0;
    }
    return 0;
}

/* The description as it lies in the file: numbers, which no relocation changes; pointers are the loader's. */
static hct_status check_description(const elf_file *f, const char *file, hct_err *err) {
    hct_plugin p;
    uint64_t address = symbol_of(f, "hct_plugin_v1"), at = address ? place_of(f, address) : 0;
    if (!at || !get(f, &p, offsetof(hct_plugin, name), at))
        return hct_fail(err, HCT_EVERSION, "%s: not a headct plugin: it exports no hct_plugin_v1", file);
    return plugin_check_version(file, &p, err);
}

hct_status plugin_check_version(const char *file, const hct_plugin *p, hct_err *err) {
    if (p->magic != HCT_MAGIC)
        return hct_fail(err, HCT_EVERSION, "%s: hct_plugin_v1 has no headct magic; build it with HCT_PLUGIN_DEFINE",
                        file);
    if (p->major != HCT_MAJOR)
        return hct_fail(
            err, HCT_EVERSION,
            "%s: built for plugin interface %u.%u, this headct speaks %d.%d; rebuild it against these headers", file,
            p->major, p->minor, HCT_MAJOR, HCT_MINOR);
    if (p->size < sizeof(hct_plugin))
        return hct_fail(err, HCT_EVERSION,
                        "%s: its description is too short (%u of %zu bytes); rebuild it against these headers", file,
                        p->size, sizeof(hct_plugin));
    return HCT_OK;
}

hct_status plugin_check_file(const char *file, hct_err *err) {
    struct stat st;
    if (!strchr(file, '/')) /* the loader would search for it in folders of its own */
        return hct_fail(err, HCT_EINVAL, "%s: plugin cannot be loaded: name it with its folder, as ./%s", file, file);
    if (stat(file, &st) < 0) return HCT_OK; /* the loader says why */
    if (!S_ISREG(st.st_mode)) return hct_fail(err, HCT_ENOTFOUND, "%s: plugin cannot be loaded: is not a file", file);
    elf_file f = {.fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), .size = (uint64_t)st.st_size};
    if (f.fd < 0) return HCT_OK;
    hct_status s = HCT_OK;
    /* what is no shared object of this machine at all is left to the loader, which runs nothing of it */
    if (get(&f, &f.head, sizeof f.head, 0) && memcmp(f.head.e_ident, ELFMAG, SELFMAG) == 0 &&
        f.head.e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
        f.head.e_phentsize == sizeof(ElfW(Phdr)))
        s = is_cut(&f) ? hct_fail(err, HCT_ENOTFOUND,
                                  "%s: plugin cannot be loaded: the file was cut short; build or copy it again", file)
                       : check_description(&f, file, err);
    close(f.fd);
    return s;
}
