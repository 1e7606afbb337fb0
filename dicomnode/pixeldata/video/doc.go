// Package video decodes the frames of a DICOM video: MPEG-2, H.264 and HEVC (PS3.5 8.2.5 to 8.2.9) as MP4, transport or program
// stream or without a container, through ffmpeg children that are bounded as those of package pixeldata are.
//
// The stream is looked through once, undecoded: its packets in the order of their times are the frames of the instance, which
// gives every frame its number, whatever the instance or the container says how many there are, and says where decoding may
// begin. What is asked for is decoded and nothing else is handed over: memory is one frame, whatever the length of the video.
//
// A [Signal] is a live picture: its frames are handed over as they come.
package video
