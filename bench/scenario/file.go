package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// ReadFile reads a spec from a YAML file. Fields that it leaves out have the
// values of defaults; unknown ones are an error, with their place in the file.
// Spec.Validate must still be asked.
func ReadFile(path string, defaults Spec) (Spec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("scenario: %w", err)
	}
	s := defaults
	s.Groups = nil
	if err := yaml.UnmarshalWithOptions(text, &s, yaml.Strict()); err != nil {
		return Spec{}, fmt.Errorf("scenario %s:\n%s", path, yaml.FormatError(err, false, true))
	}
	if s.Name == "" {
		s.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	for i := range s.Groups {
		// A path in the file is meant from where the file is.
		if file := &s.Groups[i].Payload.File; *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(path), *file)
		}
	}
	return s, nil
}
