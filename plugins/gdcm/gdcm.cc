// The component hct_dicom_gdcm.so: JPEG, JPEG-LS and JPEG 2000 frames through GDCM's codecs. Only its codecs: its
// reader of files ends the process by assertions on damaged headers (docs/architecture.md). Each stream was compared
// with the header of its file before it comes here, so that the codecs are told what the stream itself says.
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>

#include <gdcmConfigure.h>
#include <gdcmDataElement.h>
#include <gdcmJPEG2000Codec.h>
#include <gdcmJPEGCodec.h>
#include <gdcmJPEGLSCodec.h>
#include <gdcmSequenceOfFragments.h>
#include <gdcmTrace.h>

#include "hct_dicom.h"

namespace {

hct_status fail(char *why, size_t n, const char *text) {
    snprintf(why, n, "%s", text);
    return HCT_EFORMAT;
}

// GDCM prints by default; and its codecs assert that the format is one of whole words but where they look at the
// stream.
void set_up(gdcm::ImageCodec &codec, const hct_dicom_stream &s) {
    static std::once_flag once;
    std::call_once(once, [] {
        gdcm::Trace::DebugOff();
        gdcm::Trace::WarningOff();
        gdcm::Trace::ErrorOff();
    });
    unsigned short words = s.bits <= 8 ? 8 : 16, bits = s.kind == HCT_DICOM_JPEG_2000 ? (unsigned short)s.bits : words;
    const unsigned int dims[3] = {s.columns, s.rows, 1};
    codec.SetNumberOfDimensions(2);
    codec.SetDimensions(dims);
    codec.SetPlanarConfiguration(0);
    codec.SetPhotometricInterpretation(gdcm::PhotometricInterpretation::MONOCHROME2);
    codec.SetPixelFormat(gdcm::PixelFormat(1, words, bits, (unsigned short)(bits - 1), (unsigned short)s.is_signed));
}

// Slices are decoded side by side already.
void one_thread(gdcm::ImageCodec &) {}
void one_thread(gdcm::JPEG2000Codec &codec) { codec.SetNumberOfThreadsForDecompression(0); }

template <class Codec> hct_status run(const hct_dicom_stream &s, void *out, char *why, size_t n) {
    Codec codec;
    set_up(codec, s);
    one_thread(codec);
    gdcm::SmartPointer<gdcm::SequenceOfFragments> fragments = new gdcm::SequenceOfFragments;
    gdcm::Fragment fragment;
    fragment.SetByteValue(reinterpret_cast<const char *>(s.bytes), (uint32_t)s.n);
    fragments->AddFragment(fragment);
    gdcm::DataElement in(gdcm::Tag(0x7fe0, 0x0010)), decoded;
    in.SetVR(gdcm::VR::OB);
    in.SetValue(*fragments);
    if (!codec.Decode(in, decoded)) return fail(why, n, "GDCM cannot decode it: it is damaged");
    const gdcm::ByteValue *value = decoded.GetByteValue();
    size_t want = (size_t)s.columns * s.rows * (s.bits <= 8 ? 1 : 2);
    if (!value || value->GetLength() != want) return fail(why, n, "GDCM decodes less of it than a frame: it was cut");
    std::memcpy(out, value->GetPointer(), want);
    return HCT_OK;
}

hct_status decode(const hct_dicom_stream *s, void *out, char *why, size_t n) {
    try {
        switch (s->kind) {
        case HCT_DICOM_JPEG: return run<gdcm::JPEGCodec>(*s, out, why, n);
        case HCT_DICOM_JPEG_LS: return run<gdcm::JPEGLSCodec>(*s, out, why, n);
        case HCT_DICOM_JPEG_2000: return run<gdcm::JPEG2000Codec>(*s, out, why, n);
        default: return fail(why, n, "this component does not know such streams");
        }
    } catch (const std::bad_alloc &) {
        snprintf(why, n, "no memory to decode it");
        return HCT_ENOMEM;
    } catch (const std::exception &) { // what() may hold bytes of the file
        return fail(why, n, "GDCM gives up on it: it is damaged");
    }
}

} // namespace

extern "C" HCT_API const hct_dicom_plugin hct_dicom_v1;
const hct_dicom_plugin hct_dicom_v1 = {HCT_DICOM_MAGIC, HCT_DICOM_MAJOR,      0,     sizeof(hct_dicom_plugin),
                                       "gdcm",          "GDCM " GDCM_VERSION, decode};
