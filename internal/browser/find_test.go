package browser

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	if executable(imagePath) {
		t.Skip("this is the image, where nothing else is looked for")
	}
	dir := t.TempDir()
	program := func(parts ...string) string {
		path := filepath.Join(append([]string{dir}, parts...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, nil, 0o700)) //nolint:gosec // it is to be executable
		return path
	}
	own := program("own", "chrome")
	shell := program("bin", "chromium-headless-shell")
	program("bin", "chromium")
	google := program("bin2", "google-chrome")
	layer := program("repository", "layers", "chromium", "build", "chromium", "chromium")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "repository", "go.mod"), []byte(module), 0o600))
	program("elsewhere", "layers", "chromium", "build", "chromium", "chromium")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "elsewhere", "go.mod"), []byte("module example.com/other\n"), 0o600))
	inside := filepath.Join(dir, "repository", "internal", "deep")
	require.NoError(t, os.MkdirAll(inside, 0o700))
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))

	for name, c := range map[string]struct {
		in   string
		env  map[string]string
		want string
		err  string
	}{
		"CHROMIUM_PATH comes first":       {in: inside, env: map[string]string{"CHROMIUM_PATH": own, "PATH": dir + "/bin"}, want: own},
		"CHROMIUM_PATH must be right":     {in: inside, env: map[string]string{"CHROMIUM_PATH": dir + "/none"}, err: "no Chromium at " + dir + "/none, where CHROMIUM_PATH points"},
		"a file that cannot be executed":  {in: dir, env: map[string]string{"CHROMIUM_PATH": plain}, err: "no Chromium at"},
		"the layer comes before PATH":     {in: inside, env: map[string]string{"PATH": dir + "/bin"}, want: layer},
		"PATH, the smallest first":        {in: dir, env: map[string]string{"PATH": dir + "/bin2:" + dir + "/bin"}, want: shell},
		"PATH has Chrome only":            {in: dir, env: map[string]string{"PATH": dir + "/none:" + dir + "/bin2"}, want: google},
		"another repository's layer":      {in: filepath.Join(dir, "elsewhere"), env: map[string]string{}, err: "make chromium"},
		"nothing anywhere says what next": {in: dir, env: map[string]string{"PATH": dir}, err: "make chromium"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(c.in)
			got, err := Find(func(name string) string { return c.env[name] })
			if c.err != "" {
				require.ErrorIs(t, err, errNoChromium)
				assert.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}
