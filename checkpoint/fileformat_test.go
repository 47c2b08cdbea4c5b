package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/ahead"
)

var fileSeeds = []map[string]Checkpoint{
	{},
	{"orders/billing": {Offset: "4711", Epoch: 3}},
	{"ahead": {Offset: "7", Epoch: 3, Ahead: ahead.Encode("7", []ahead.Run{{From: 1, To: 300, Mark: 5}})}, "none": {Offset: "7", Epoch: 3}},
	{"claimed only": {Epoch: 1}, "highest": {Offset: "1", Epoch: math.MaxInt64}},
	{"a\nb": {Offset: "\x00\xff\"\\`'", Epoch: 2}, "K\xf6ln": {Offset: "☃\u2028", Epoch: 9}, " ": {Offset: " ", Epoch: 1}},
}

func TestFileFormat(t *testing.T) {
	const want = "headrace checkpoints 2\n" +
		"\"a\\nb\" \"1/☃\" 2\n" +
		"\"orders/billing\" \"4711\" 3\n" +
		"\"orders/mailing\" \"7\" 3 Mgyj9gGrAgAF\n" +
		"crc32c "
	got := string(encodeFile(map[string]Checkpoint{
		"orders/billing": {Offset: "4711", Epoch: 3}, "a\nb": {Offset: "1/☃", Epoch: 2},
		"orders/mailing": {Offset: "7", Epoch: 3, Ahead: ahead.Encode("7", []ahead.Run{{From: 1, To: 300, Mark: 5}})},
	}))
	if len(got) != len(want)+len("01234567\n") || got[:len(want)] != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	for _, all := range fileSeeds {
		back, err := decodeFile(encodeFile(all))
		if err != nil || !maps.Equal(back, all) {
			t.Errorf("%v came back as %v, %v", all, back, err)
		}
	}
}

// TestFileFormatNoticesDamage: every cut and every flipped bit.
func TestFileFormatNoticesDamage(t *testing.T) {
	for _, all := range fileSeeds {
		sound := encodeFile(all)
		for n := range sound {
			if got, err := decodeFile(sound[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes were read as %v", n, len(sound), got)
			}
			for bit := range 8 {
				sound[n] ^= 1 << bit
				if got, err := decodeFile(sound); err == nil {
					t.Fatalf("with bit %d of byte %d flipped it was read as %v", bit, n, got)
				}
				sound[n] ^= 1 << bit
			}
		}
	}
}

// TestFileFormatTrustsNoChecksum: lines that nobody should have written are refused although their sum is right.
func TestFileFormatTrustsNoChecksum(t *testing.T) {
	for _, lines := range []string{
		"\n",
		"\"k\"\n",
		"\"k\" \"1\"\n",
		"\"k\" \"1\" \n",
		"\"k\" \"1\" 0\n",
		"\"k\" \"1\" -1\n",
		"\"k\" \"1\" 1 \n",
		"\"k\" \"1\" 9223372036854775808\n",
		"\"k\" \"1\" 99999999999999999999\n",
		"\"k\" '1' 1\n",
		"`k` \"1\" 1\n",
		"k \"1\" 1\n",
		"\"k\"\"1\" 1\n",
		"\"k\" \"1\"1\n",
		"\"\" \"1\" 1\n",
		"\"k\" \"1\" 1\n\"k\" \"2\" 1\n",
		"\"k\" \"1\" 1\n\"\\x6b\" \"2\" 1\n",
		"\"k \"1\" 1\n",
		"\"k\" \"1\" 1 AAAA\n",
		"\"k\" \"1\" 1 %%%%\n",
		"\"k\" \"7\" 1 Mgyj9gGrAgAF \n",
		"\"k\" \"7\" 1 Mgyj9gGrAgAF AAAA\n",
	} {
		if got, err := decodeFile(summed(lines)); err == nil {
			t.Errorf("%q was read as %v", lines, got)
		}
	}
}

// TestFileOfTheVersionBeforeIsRead: its checkpoints have no list of done records.
func TestFileOfTheVersionBeforeIsRead(t *testing.T) {
	text := []byte(fileMagic + "1\n\"orders/billing\" \"4711\" 3\n")
	text = fmt.Appendf(text, "%s%08x\n", sumPrefix, checksum(text))
	all, err := decodeFile(text)
	if want := map[string]Checkpoint{"orders/billing": {Offset: "4711", Epoch: 3}}; err != nil || !maps.Equal(all, want) {
		t.Errorf("%v, %v", all, err)
	}
}

// summed makes a file of lines with the checksum that fits.
func summed(lines string) []byte {
	b := []byte(fileMagic + fileVersion + "\n" + lines)
	return fmt.Appendf(b, "%s%08x\n", sumPrefix, checksum(b))
}

// FuzzFile: nothing makes the decoder panic, what it takes it can write and read again, and what it refuses is damage or
// another version.
func FuzzFile(f *testing.F) {
	for _, all := range fileSeeds {
		f.Add(encodeFile(all))
	}
	f.Add([]byte(nil))
	f.Add([]byte("headrace checkpoints 3\n"))
	f.Add([]byte("headrace checkpoints 1\ncrc32c 00000000\n"))
	f.Add(summed("\"k\" \"1\" 0\n"))
	f.Fuzz(func(t *testing.T, text []byte) { checkDecodeFile(t, text) })
}

// FuzzFileLines gets behind the checksum, which random bytes never do.
func FuzzFileLines(f *testing.F) {
	for _, lines := range []string{"", "\"k\" \"7\" 1 Mgyj9gGrAgAF\n", "\"k\" \"1\" 1\n", "\"a\\nb\" \"\\x00\\u2028\" 9223372036854775807\n", "`k` \"1\" 1"} {
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, lines string) { checkDecodeFile(t, summed(lines)) })
}

func checkDecodeFile(t *testing.T, text []byte) {
	all, err := decodeFile(text)
	if err != nil {
		if all != nil {
			t.Errorf("%v beside %v", all, err)
		}
		if version := fmt.Sprintf("%s%s\n", fileMagic, fileVersion); errors.Is(err, backend.ErrUnsupported) &&
			len(text) >= len(version) && string(text[:len(version)]) == version {
			t.Errorf("its own version is not supported: %v", err)
		}
		return
	}
	for key, cp := range all {
		if key == "" || cp.Epoch == 0 || cp.Epoch > math.MaxInt64 {
			t.Errorf("%q: %v was read", key, cp)
		}
	}
	back, err := decodeFile(encodeFile(all))
	if err != nil || !maps.Equal(back, all) {
		t.Errorf("%v came back as %v, %v", all, back, err)
	}
}
