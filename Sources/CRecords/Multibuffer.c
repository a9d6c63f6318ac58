// For dl_iterate_phdr and dlinfo.
#define _GNU_SOURCE
#include "Multibuffer.h"

#include "CRecords.h"

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <link.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// The name has the version in which the layout of the manager changes.
#define TEXT_OF(number) #number
#define FILE_NAME(major) "libIPSec_MB.so." TEXT_OF(major)
#if IMB_VERSION_NUM >= 0x20000
static const char file[] = FILE_NAME(2);
#else
static const char file[] = FILE_NAME(1);
#endif

struct multibuffer_key {
    struct gcm_key_data data;
};

// Holds pointers to functions; these keep nothing in it.
static IMB_MGR *manager;
static const char *version;

static int release(struct dl_phdr_info *info, size_t size, void *base) {
    (void)size;
    if (info->dlpi_addr != *(ElfW(Addr) *)base) return 0;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int at = 0; at < info->dlpi_phnum; at++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[at];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
        uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        madvise((void *)start, info->dlpi_addr + segment->p_vaddr + segment->p_memsz - start, MADV_DONTNEED);
    }
    return 1;
}

// Its tests have been all over its code, 3 MiB of it, of which no more than a few pages are ever needed again. What is
// never written to comes back from the file.
static void release_code(void *library) {
    struct link_map *map;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0) dl_iterate_phdr(release, &map->l_addr);
}

static void load(void) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    // Through an integer: ISO C knows no way from a pointer to a function.
    unsigned (*get_version)(void) = (unsigned (*)(void))(uintptr_t)dlsym(library, "imb_get_version");
    const char *(*name)(void) = (const char *(*)(void))(uintptr_t)dlsym(library, "imb_get_version_str");
    IMB_MGR *(*make)(uint64_t) = (IMB_MGR * (*)(uint64_t))(uintptr_t) dlsym(library, "alloc_mb_mgr");
    void (*initialize)(IMB_MGR *, IMB_ARCH *) = (void (*)(IMB_MGR *, IMB_ARCH *))(uintptr_t)dlsym(library, "init_mb_mgr_auto");
    // Built against another release, the manager may be laid out in another way.
    if (!get_version || !name || !make || !initialize || get_version() >> 8 != IMB_VERSION_NUM >> 8) return;
    IMB_MGR *made = make(0);
    if (!made) return;
    initialize(made, NULL);
    if (!(made->features & IMB_FEATURE_SELF_TEST_PASS) || !(made->features & IMB_FEATURE_AESNI)) return;
    version = name();
    manager = made;
    release_code(library);
}

const char *multibuffer_version(void) {
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    CRYPTO_THREAD_run_once(&once, load);
    return version;
}

struct multibuffer_key *multibuffer_key_new(void) {
    void *made = NULL;
    return posix_memalign(&made, 64, sizeof(struct multibuffer_key)) == 0 ? made : NULL;
}

void multibuffer_key_set(struct multibuffer_key *key, const uint8_t *bytes) {
    IMB_AES128_GCM_PRE(manager, bytes, &key->data);
}

void multibuffer_key_free(struct multibuffer_key *key) {
    OPENSSL_cleanse(key, sizeof *key);
    free(key);
}

void multibuffer_seal(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, const uint8_t *text, size_t count,
    const uint8_t *type, uint8_t *sealed) {
    struct gcm_context_data state;
    IMB_AES128_GCM_INIT(manager, &key->data, &state, nonce, header, crecords_header_bytes);
    if (count > 0) IMB_AES128_GCM_ENC_UPDATE(manager, &key->data, &state, sealed, text, count);
    IMB_AES128_GCM_ENC_UPDATE(manager, &key->data, &state, sealed + count, type, 1);
    IMB_AES128_GCM_ENC_FINALIZE(manager, &key->data, &state, sealed + count + 1, 16);
}

void multibuffer_open(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, const uint8_t *sealed, size_t count,
    uint8_t *text, uint8_t *last, uint8_t *tag) {
    struct gcm_context_data state;
    IMB_AES128_GCM_INIT(manager, &key->data, &state, nonce, header, crecords_header_bytes);
    if (count > 0) IMB_AES128_GCM_DEC_UPDATE(manager, &key->data, &state, text, sealed, count);
    IMB_AES128_GCM_DEC_UPDATE(manager, &key->data, &state, last, sealed + count, 1);
    IMB_AES128_GCM_DEC_FINALIZE(manager, &key->data, &state, tag, 16);
}

// The whole-message calls refuse NULL, which an empty text may have.
static const uint8_t nothing[1];

void multibuffer_seal_datagram(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, size_t header_count, const uint8_t *text,
    size_t count, uint8_t *out, uint8_t *tag) {
    struct gcm_context_data state;
    IMB_AES128_GCM_ENC(
        manager, &key->data, &state, out, count > 0 ? text : nothing, count, nonce, header, header_count, tag, 16);
}

void multibuffer_open_datagram(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, size_t header_count, uint8_t *sealed,
    size_t count, uint8_t *tag) {
    struct gcm_context_data state;
    IMB_AES128_GCM_DEC(manager, &key->data, &state, sealed, sealed, count, nonce, header, header_count, tag, 16);
}

#else

const char *multibuffer_version(void) { return NULL; }
struct multibuffer_key *multibuffer_key_new(void) { return NULL; }
void multibuffer_key_set(struct multibuffer_key *key, const uint8_t *bytes) { (void)key, (void)bytes; }
void multibuffer_key_free(struct multibuffer_key *key) { (void)key; }

void multibuffer_seal(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, const uint8_t *text, size_t count,
    const uint8_t *type, uint8_t *sealed) {
    (void)key, (void)nonce, (void)header, (void)text, (void)count, (void)type, (void)sealed;
}

void multibuffer_open(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, const uint8_t *sealed, size_t count,
    uint8_t *text, uint8_t *last, uint8_t *tag) {
    (void)key, (void)nonce, (void)header, (void)sealed, (void)count, (void)text, (void)last, (void)tag;
}

void multibuffer_seal_datagram(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, size_t header_count, const uint8_t *text,
    size_t count, uint8_t *out, uint8_t *tag) {
    (void)key, (void)nonce, (void)header, (void)header_count, (void)text, (void)count, (void)out, (void)tag;
}

void multibuffer_open_datagram(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, size_t header_count, uint8_t *sealed,
    size_t count, uint8_t *tag) {
    (void)key, (void)nonce, (void)header, (void)header_count, (void)sealed, (void)count, (void)tag;
}

#endif
