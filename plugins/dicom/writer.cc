/* The component hct_dicom_writer.so: a list of elements to a DICOM file, through GDCM's writer. The only C++ of the
 * tree, as GDCM has no C interface; no exception leaves it. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <sstream>
#include <string>

#include <gdcmFileMetaInformation.h>
#include <gdcmSequenceOfItems.h>
#include <gdcmTrace.h>
#include <gdcmVersion.h>
#include <gdcmWriter.h>

#include "hct_dicom_writer.h"

namespace {

struct reader {
    const hct_dicom_part *parts;
    uint64_t n, at;
};

gdcm::Tag tag_of(const hct_dicom_part &p) {
    return gdcm::Tag(static_cast<uint16_t>(p.tag >> 16), static_cast<uint16_t>(p.tag & 0xffff));
}

/* Texts are made even by a blank, UIDs and bytes by a zero. */
void add_value(gdcm::DataSet &to, const hct_dicom_part &p) {
    const char letters[3] = {p.vr[0], p.vr[1], '\0'};
    const gdcm::VR::VRType vr = gdcm::VR::GetVRTypeFromFile(letters);
    const bool zero = vr & (gdcm::VR::UI | gdcm::VR::OB | gdcm::VR::OW | gdcm::VR::UN);
    std::string bytes(p.bytes ? reinterpret_cast<const char *>(p.bytes) : "", p.bytes ? p.n : 0);
    if (bytes.size() % 2) bytes.push_back(zero ? '\0' : ' ');
    gdcm::DataElement e(tag_of(p));
    e.SetVR(vr);
    e.SetByteValue(bytes.data(), static_cast<uint32_t>(bytes.size()));
    to.Replace(e);
}

/* Elements up to the END of the item, or of the list. */
bool add_elements(gdcm::DataSet &to, reader &r, int depth) {
    while (r.at < r.n) {
        const hct_dicom_part &p = r.parts[r.at++];
        if (p.kind == HCT_DICOM_END) return depth > 0;
        if (p.kind == HCT_DICOM_VALUE) add_value(to, p);
        else if (p.kind == HCT_DICOM_SEQUENCE) {
            gdcm::SmartPointer<gdcm::SequenceOfItems> items = new gdcm::SequenceOfItems;
            items->SetLengthToUndefined();
            while (r.at < r.n && r.parts[r.at].kind == HCT_DICOM_ITEM) {
                gdcm::Item item;
                item.SetVLToUndefined();
                r.at++;
                if (!add_elements(item.GetNestedDataSet(), r, depth + 1)) return false;
                items->AddItem(item);
            }
            if (r.at == r.n || r.parts[r.at++].kind != HCT_DICOM_END) return false;
            gdcm::DataElement e(tag_of(p));
            e.SetVR(gdcm::VR::SQ);
            e.SetValue(*items);
            e.SetVLToUndefined();
            to.Replace(e);
        } else return false;
    }
    return depth == 0;
}

hct_status write_file(const hct_dicom_part *parts, uint64_t n, unsigned char **ret, uint64_t *ret_n, char *why,
                      size_t m) {
    std::ostringstream out;
    gdcm::Writer w;
    reader r = {parts, n, 0};
    if (!add_elements(w.GetFile().GetDataSet(), r, 0)) {
        std::snprintf(why, m, "its parts make no data set");
        return HCT_EFORMAT;
    }
    w.GetFile().GetHeader().SetDataSetTransferSyntax(gdcm::TransferSyntax::ExplicitVRLittleEndian);
    w.SetStream(out);
    if (!w.Write()) {
        std::snprintf(why, m, "GDCM cannot write it");
        return HCT_EFORMAT;
    }
    const std::string file = out.str();
    *ret = static_cast<unsigned char *>(std::malloc(file.size() + 1));
    if (!*ret) throw std::bad_alloc();
    std::memcpy(*ret, file.data(), file.size());
    *ret_n = file.size();
    return HCT_OK;
}

hct_status write(const hct_dicom_part *parts, uint64_t n, unsigned char **ret, uint64_t *ret_n, char *why,
                 size_t m) noexcept {
    try {
        gdcm::Trace::SetWarning(false);
        gdcm::Trace::SetError(false);
        return write_file(parts, n, ret, ret_n, why, m);
    } catch (const std::bad_alloc &) {
        std::snprintf(why, m, "out of memory");
        return HCT_ENOMEM;
    } catch (const std::exception &e) {
        std::snprintf(why, m, "GDCM: %.150s", e.what());
        return HCT_EFORMAT;
    } catch (...) {
        std::snprintf(why, m, "GDCM gives up");
        return HCT_EFORMAT;
    }
}

void release(unsigned char *file) noexcept { std::free(file); }

} // namespace

extern "C" {
HCT_API extern const hct_dicom_writer hct_dicom_writer_v1;
const hct_dicom_writer hct_dicom_writer_v1 = {HCT_DICOM_WRITER_MAGIC,
                                              HCT_DICOM_WRITER_MAJOR,
                                              0,
                                              sizeof(hct_dicom_writer),
                                              "writer",
                                              "GDCM's writer",
                                              write,
                                              release};
}
